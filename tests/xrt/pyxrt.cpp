// A binding with the names that XRT's own Python module `pyxrt` has, of what cards/xrt_native.py uses, over the native API
// of Debian's XRT 2.13, which comes without that module. As there (src/python/pybind11/src/pyxrt.cpp in XRT), no call lets
// go of Python's lock, a scalar argument is an int, and `wait` takes milliseconds.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_kernel.h>
#include <experimental/xrt_system.h>

namespace nb = nanobind;
using namespace nb::literals;

NB_MODULE(pyxrt, m)
{
    nb::enum_<xclBOSyncDirection>(m, "xclBOSyncDirection")
        .value("XCL_BO_SYNC_BO_TO_DEVICE", XCL_BO_SYNC_BO_TO_DEVICE)
        .value("XCL_BO_SYNC_BO_FROM_DEVICE", XCL_BO_SYNC_BO_FROM_DEVICE);
    nb::enum_<ert_cmd_state>(m, "ert_cmd_state")
        .value("ERT_CMD_STATE_NEW", ERT_CMD_STATE_NEW)
        .value("ERT_CMD_STATE_QUEUED", ERT_CMD_STATE_QUEUED)
        .value("ERT_CMD_STATE_RUNNING", ERT_CMD_STATE_RUNNING)
        .value("ERT_CMD_STATE_COMPLETED", ERT_CMD_STATE_COMPLETED)
        .value("ERT_CMD_STATE_ERROR", ERT_CMD_STATE_ERROR)
        .value("ERT_CMD_STATE_ABORT", ERT_CMD_STATE_ABORT)
        .value("ERT_CMD_STATE_SUBMITTED", ERT_CMD_STATE_SUBMITTED)
        .value("ERT_CMD_STATE_TIMEOUT", ERT_CMD_STATE_TIMEOUT)
        .value("ERT_CMD_STATE_NORESPONSE", ERT_CMD_STATE_NORESPONSE);
    nb::enum_<xrt::info::device>(m, "xrt_info_device")
        .value("name", xrt::info::device::name)
        .value("electrical", xrt::info::device::electrical);
    m.def("enumerate_devices", &xrt::system::enumerate_devices);

    nb::class_<xrt::uuid>(m, "uuid").def("to_string", &xrt::uuid::to_string);

    nb::class_<xrt::device>(m, "device")
        .def(nb::init<unsigned int>())
        .def("load_xclbin", [](xrt::device& d, const std::string& path) { return d.load_xclbin(path); })
        .def("get_info", [](xrt::device& d, xrt::info::device key) {
            return key == xrt::info::device::name ? d.get_info<xrt::info::device::name>()
                                                  : d.get_info<xrt::info::device::electrical>();
        });

    nb::class_<xrt::kernel> kernel(m, "kernel");
    nb::enum_<xrt::kernel::cu_access_mode>(kernel, "cu_access_mode")
        .value("exclusive", xrt::kernel::cu_access_mode::exclusive)
        .value("shared", xrt::kernel::cu_access_mode::shared);
    kernel
        .def(nb::init<const xrt::device&, const xrt::uuid&, const std::string&, xrt::kernel::cu_access_mode>())
        .def("group_id", &xrt::kernel::group_id);

    nb::class_<xrt::bo> bo(m, "bo");
    nb::enum_<xrt::bo::flags>(bo, "flags").value("normal", xrt::bo::flags::normal);
    bo.def("__init__",
           [](xrt::bo* self, const xrt::device& device, size_t size, xrt::bo::flags flags, unsigned int group) {
               new (self) xrt::bo(device, size, flags, group);
           })
        .def(nb::init<xrt::bo, size_t, size_t>())
        .def("sync", [](xrt::bo& b, xclBOSyncDirection way, size_t size, size_t offset) { b.sync(way, size, offset); })
        .def("map", [](xrt::bo& b) {
            return nb::steal(PyMemoryView_FromMemory(b.map<char*>(), static_cast<Py_ssize_t>(b.size()), PyBUF_WRITE));
        })
        .def("size", &xrt::bo::size)
        .def("address", &xrt::bo::address);

    nb::class_<xrt::run>(m, "run")
        .def(nb::init<const xrt::kernel&>())
        .def("set_arg", [](xrt::run& r, int index, xrt::bo& value) { r.set_arg(index, value); })
        .def("set_arg", [](xrt::run& r, int index, int value) { r.set_arg(index, value); })
        .def("start", [](xrt::run& r) { r.start(); })
        .def("wait", [](xrt::run& r) { return r.wait(0); })
        .def("wait", [](xrt::run& r, unsigned int timeout_ms) { return r.wait(timeout_ms); })
        .def("state", &xrt::run::state);
}
