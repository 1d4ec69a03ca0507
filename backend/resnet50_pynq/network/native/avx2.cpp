#include "kernels.h"
namespace resnet50 { const Kernels* avx2_kernels() { return nullptr; } }
