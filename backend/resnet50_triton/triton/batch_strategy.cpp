// Keeps requests without images out of Triton's dynamic batches: a custom batching strategy, found by Triton as
// `batchstrategy.so` in the folder of a model.
//
// Triton passes on a request of shape [0, 224, 224, 3] as one of shape [224, 224, 3]; the Python backend then counts
// 224 images, finds the batch too large, and fails every request in it. Such a request is cancelled here, which costs
// nobody else anything: the batcher answers it as CANCELLED and never batches it.
//
// The functions and their meaning: tritonbackend.h and tritonserver.h of triton-inference-server/core, of which only
// what is used is declared here. The server's own executable defines them.

#include <cstdint>

struct TRITONSERVER_Error;
struct TRITONSERVER_InferenceRequest;
struct TRITONBACKEND_Batcher;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_Request;

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

TRITONSERVER_Error* TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request*, uint32_t, TRITONBACKEND_Input**);
TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input*, const char**, int*, const int64_t**,
                                                  uint32_t*, uint64_t*, uint32_t*);
TRITONSERVER_Error* TRITONSERVER_InferenceRequestCancel(TRITONSERVER_InferenceRequest*);

EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatchIncludeRequest(TRITONBACKEND_Request* request, void*,
                                                                    bool* should_include) {
  const uint32_t with_batch = 4;  // dimensions of a request that has images: N, H, W, C
  TRITONBACKEND_Input* input;
  const int64_t* shape;
  uint32_t dimensions = 0;
  *should_include = true;
  if (TRITONSERVER_Error* error = TRITONBACKEND_RequestInputByIndex(request, 0, &input)) return error;
  if (TRITONSERVER_Error* error =
          TRITONBACKEND_InputProperties(input, nullptr, nullptr, &shape, &dimensions, nullptr, nullptr)) {
    return error;
  }
  if (dimensions == with_batch && shape[0] > 0) return nullptr;
  // In Triton's core both are the same class; the backend's view of a request has no function that cancels it.
  TRITONSERVER_Error* error =
      TRITONSERVER_InferenceRequestCancel(reinterpret_cast<TRITONSERVER_InferenceRequest*>(request));
  *should_include = error != nullptr;  // what is neither cancelled nor included would be looked at for ever
  return error;
}

// Nothing is kept about a batch.
EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatchInitialize(const TRITONBACKEND_Batcher*, void**) { return nullptr; }
EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatchFinalize(void*) { return nullptr; }
EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatcherInitialize(TRITONBACKEND_Batcher**, TRITONBACKEND_Model*) {
  return nullptr;
}
EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatcherFinalize(TRITONBACKEND_Batcher*) { return nullptr; }
}
