#include "kernels.h"
namespace resnet50 { const Kernels* avx512_kernels() { return nullptr; } }
