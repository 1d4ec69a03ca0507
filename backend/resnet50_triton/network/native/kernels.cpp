#include "kernels.h"

namespace resnet50 {

std::vector<const Kernels*> usable_kernels() {
    std::vector<const Kernels*> usable;
    for (const Kernels* kernels : {avx512_kernels(), avx2_kernels(), neon_kernels(), generic_kernels()})
        if (kernels) usable.push_back(kernels);
    return usable;
}

}  // namespace resnet50
