// Keeps requests that would fail others out of Triton's dynamic batches: a custom batching strategy, found by Triton as
// `batchstrategy.so` in the folder of a model. Such a request is cancelled here, which costs nobody else anything: the
// batcher answers it as CANCELLED and never batches it. They are two kinds:
//
// - Without images. Triton passes on a request of shape [0, 224, 224, 3] as one of shape [224, 224, 3]; the Python
//   backend then counts 224 images, finds the batch too large, and fails every request in it.
// - With an id or parameters of megabytes. The Python backend copies them into /dev/shm; where that is full, it fails
//   every request of the batch.
//
// The functions and their meaning: tritonbackend.h and tritonserver.h of triton-inference-server/core, of which only
// what is used is declared here. The server's own executable defines them.

#include <cstdint>
#include <cstring>

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
TRITONSERVER_Error* TRITONBACKEND_RequestId(TRITONBACKEND_Request*, const char**);
TRITONSERVER_Error* TRITONBACKEND_RequestParameterCount(TRITONBACKEND_Request*, uint32_t*);
TRITONSERVER_Error* TRITONBACKEND_RequestParameter(TRITONBACKEND_Request*, uint32_t, const char**, int*, const void**);
TRITONSERVER_Error* TRITONSERVER_InferenceRequestCancel(TRITONSERVER_InferenceRequest*);

static TRITONSERVER_Error* has_images(TRITONBACKEND_Request* request, bool* has) {
  const uint32_t with_batch = 4;  // dimensions of a request that has images: N, H, W, C
  TRITONBACKEND_Input* input;
  const int64_t* shape;
  uint32_t dimensions = 0;
  if (TRITONSERVER_Error* error = TRITONBACKEND_RequestInputByIndex(request, 0, &input)) return error;
  if (TRITONSERVER_Error* error =
          TRITONBACKEND_InputProperties(input, nullptr, nullptr, &shape, &dimensions, nullptr, nullptr)) {
    return error;
  }
  *has = dimensions == with_batch && shape[0] > 0;
  return nullptr;
}

static TRITONSERVER_Error* is_short(TRITONBACKEND_Request* request, bool* is) {
  const size_t limit_bytes = 65536;  // of the id and the parameters
  const int string = 0;              // TRITONSERVER_PARAMETER_STRING
  const char* text;
  uint32_t count = 0;
  if (TRITONSERVER_Error* error = TRITONBACKEND_RequestId(request, &text)) return error;
  size_t bytes = strnlen(text, limit_bytes);
  if (TRITONSERVER_Error* error = TRITONBACKEND_RequestParameterCount(request, &count)) return error;
  for (uint32_t i = 0; i < count && bytes < limit_bytes; ++i) {
    int type;
    const void* value;
    if (TRITONSERVER_Error* error = TRITONBACKEND_RequestParameter(request, i, &text, &type, &value)) return error;
    bytes += strnlen(text, limit_bytes);
    bytes += type == string ? strnlen(static_cast<const char*>(value), limit_bytes) : sizeof(int64_t);
  }
  *is = bytes < limit_bytes;
  return nullptr;
}

EXPORTED TRITONSERVER_Error* TRITONBACKEND_ModelBatchIncludeRequest(TRITONBACKEND_Request* request, void*,
                                                                    bool* should_include) {
  bool has = true, is = true;
  *should_include = true;
  if (TRITONSERVER_Error* error = has_images(request, &has)) return error;
  if (TRITONSERVER_Error* error = is_short(request, &is)) return error;
  if (has && is) return nullptr;
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
