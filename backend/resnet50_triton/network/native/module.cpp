// The Python face of the engine; network/engine.py is its only user and checks what users pass.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "engine.h"
#include "primitives.h"
#include "runs.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace resnet50;

template <typename T, typename... Shape>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu, Shape...>;
using Pixels = Array<const uint8_t, nb::shape<-1, kImage, kImage, kImageChannels>>;
using Bits = Array<const uint8_t, nb::ndim<4>>;          // (cout, k, k, cin / 8)
using Thresholds = Array<const int32_t, nb::ndim<2>>;    // (channels, 3 or 15)
using StemWeights = Array<const int8_t, nb::shape<kStemChannels, kStemKernel, kStemKernel, kImageChannels>>;
using Head = Array<const int8_t, nb::shape<kClasses, kFeatures>>;

// Ends this process some seconds after its parent, whatever Python's threads wait for.
void end_with_parent() {
    std::thread([parent = getppid()] {
        while (getppid() == parent) std::this_thread::sleep_for(std::chrono::milliseconds(500));
        std::this_thread::sleep_for(std::chrono::seconds(2));  // for its own way to end
        _exit(1);
    }).detach();
}

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

const Kernels& find_kernels(const std::string& name) {
    for (const Kernels* kernels : usable_kernels())
        if (name == kernels->name()) return *kernels;
    throw std::invalid_argument("no kernels named '" + name + "' on this CPU");
}

ConvParams conv_params(const Bits& weights, const int32_t* thresholds, int levels, int stride) {
    const int cin = int(weights.shape(3)) * 8, cout = int(weights.shape(0)), ksize = int(weights.shape(1));
    require(cin % kBlock == 0 && cout % kBlock == 0, "channels must be multiples of 64");
    require(ksize == int(weights.shape(2)) && (ksize == 1 || ksize == 3), "a kernel must be 1x1 or 3x3");
    require(stride == 1 || (stride == 2 && ksize == 1), "only a 1x1 may have a stride of 2");
    return {weights.data(), thresholds, cin, cout, ksize, stride, levels};
}

std::shared_ptr<Network> make_network(const std::string& kernels, const StemWeights& stem_weights,
                                      const Array<const int32_t, nb::shape<kStemChannels, 3>>& stem_thresholds,
                                      const Array<const int32_t, nb::shape<kClasses>>& bias) {
    auto network = std::make_shared<Network>();
    network->kernels = &find_kernels(kernels);
    network->stem = network->kernels->pack_stem(stem_weights.data(), stem_thresholds.data());
    network->bias.assign(bias.data(), bias.data() + kClasses);
    return network;
}

void add_block(Network& network, int size_in, int stride, const Thresholds& input_thresholds,
               const std::vector<std::pair<Bits, Thresholds>>& convs) {
    require(convs.size() == 3 || convs.size() == 4, "a block has 3 or 4 convolutions");
    Block block;
    block.size_in = size_in;
    block.input_thresholds = pack_input_thresholds(input_thresholds.data(), int(input_thresholds.shape(0)));
    for (size_t i = 0; i < convs.size(); i++) {
        const auto& [weights, thresholds] = convs[i];
        const int levels = i < 2 ? 3 : 15;
        require(thresholds.shape(0) == weights.shape(0) && int(thresholds.shape(1)) == levels, "wrong number of thresholds");
        const bool strided = i == 0 || i == 3;
        block.convs.push_back(network.kernels->pack(conv_params(weights, thresholds.data(), levels, strided ? stride : 1)));
    }
    network.blocks.push_back(std::move(block));
}

}  // namespace

NB_MODULE(_native, m) {
    nb::class_<Network>(m, "Network")
        .def(nb::new_(&make_network), "kernels"_a, "stem_weights"_a, "stem_thresholds"_a, "bias"_a)
        .def("add_block", &add_block, "size_in"_a, "stride"_a, "input_thresholds"_a, "convs"_a);

    nb::class_<Engine>(m, "Engine")
        .def("__init__",
             [](Engine* self, std::shared_ptr<Network> network, int threads) {
                 require(!network->blocks.empty() && threads >= 1, "an engine needs blocks and a thread");
                 new (self) Engine(std::move(network), threads);
             },
             "network"_a, "threads"_a)
        .def_prop_ro("threads", &Engine::threads)
        .def("plan",
             [](const Engine& engine) {
                 std::vector<std::pair<int, double>> parts;  // items, multiply-adds
                 for (const Part& part : engine.plan()) parts.emplace_back(part.items, part.macs);
                 return parts;
             })
        .def("features",
             [](Engine& engine, const Pixels& pixels, const Array<uint16_t, nb::shape<-1, kFeatures>>& out) {
                 require(out.shape(0) == pixels.shape(0), "one row of output for each image");
                 nb::gil_scoped_release release;
                 engine.features(pixels.data(), int(pixels.shape(0)), out.data());
             },
             "pixels"_a, "out"_a)
        .def("logits",
             [](Engine& engine, const Pixels& pixels, const Head& weights,
                const Array<int32_t, nb::shape<-1, kClasses>>& out) {
                 require(out.shape(0) == pixels.shape(0), "one row of output for each image");
                 nb::gil_scoped_release release;
                 engine.logits(pixels.data(), int(pixels.shape(0)), weights.data(), out.data());
             },
             "pixels"_a, "weights"_a, "out"_a)
        .def("stages",
             [](Engine& engine, const Pixels& pixels, const std::vector<Array<uint8_t, nb::ndim<4>>>& outputs) {
                 const Network& network = engine.network();
                 require(outputs.size() == network.blocks.size() + 1, "one output for the stem and for each block");
                 std::vector<uint8_t*> pointers;
                 for (size_t i = 0; i < outputs.size(); i++) {
                     const size_t size = i ? network.blocks[i - 1].output_bytes()
                                           : size_t(kStemPooled) * kStemPooled * kStemChannels;
                     require(outputs[i].size() == size * pixels.shape(0), "wrong size of an output");
                     pointers.push_back(outputs[i].data());
                 }
                 nb::gil_scoped_release release;
                 engine.stages(pixels.data(), int(pixels.shape(0)), pointers);
             },
             "pixels"_a, "outputs"_a)
        .def("profile",
             [](Engine& engine, const Pixels& pixels, const Head& weights) {
                 nb::gil_scoped_release release;
                 return engine.profile(pixels.data(), int(pixels.shape(0)), weights.data());
             },
             "pixels"_a, "weights"_a);

    nb::class_<Runs>(m, "Runs")
        .def(nb::init<Engine&>(), "engine"_a, nb::keep_alive<1, 2>())
        .def("start",
             [](Runs& runs, const Pixels& pixels, const Head& weights,
                const Array<int32_t, nb::shape<-1, kClasses>>& out) {
                 require(out.shape(0) == pixels.shape(0), "one row of output for each image");
                 return runs.start(pixels.data(), int(pixels.shape(0)), weights.data(), out.data());
             },
             "pixels"_a, "weights"_a, "out"_a)
        .def("wait", &Runs::wait, "run"_a, "timeout_s"_a, nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("finished", &Runs::finished)
        .def_prop_ro("events", &Runs::events)
        .def("wait_for_event", &Runs::wait_for_event, "seen"_a, "timeout_s"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("poke", &Runs::poke)
        .def("error", &Runs::error, "run"_a)
        .def("cancel", &Runs::cancel, "why"_a)
        .def("close", &Runs::close, nb::call_guard<nb::gil_scoped_release>());

    m.def("end_with_parent", &end_with_parent);
    m.def("kernels", [] {
        std::vector<std::string> names;
        for (const Kernels* kernels : usable_kernels()) names.emplace_back(kernels->name());
        return names;
    });
    m.def("convolve",
          [](const std::string& kernels, const Array<const uint8_t, nb::ndim<4>>& x, const Bits& weights, int stride,
             int threads, const Array<int32_t, nb::ndim<4>>& out) {
              const ConvParams params = conv_params(weights, nullptr, 0, stride);
              const int height = int(x.shape(1)), width = int(x.shape(2));
              require(int(x.shape(3)) == params.cin && int(out.shape(3)) == params.cout && out.shape(0) == x.shape(0) &&
                          int(out.shape(1)) == (height - 1) / stride + 1 && int(out.shape(2)) == (width - 1) / stride + 1,
                      "the output does not fit the input");
              nb::gil_scoped_release release;
              convolve(find_kernels(kernels), x.data(), int(x.shape(0)), height, width, params, threads, out.data());
          },
          "kernels"_a, "x"_a, "weights"_a, "stride"_a, "threads"_a, "out"_a);
    m.def("convolve_pixels",
          [](const std::string& kernels, const Pixels& pixels, const StemWeights& weights, int threads,
             const Array<int32_t, nb::shape<-1, kStemSize, kStemSize, kStemChannels>>& out) {
              require(out.shape(0) == pixels.shape(0), "one output for each image");
              nb::gil_scoped_release release;
              convolve_pixels(find_kernels(kernels), pixels.data(), int(pixels.shape(0)), weights.data(), threads, out.data());
          },
          "kernels"_a, "pixels"_a, "weights"_a, "threads"_a, "out"_a);
}
