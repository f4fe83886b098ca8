// How a file of loops is compiled once for each instruction set, and the best one for the processor called at run time.
//
// Such a file puts its own name into HWY_TARGET_INCLUDE, includes this header and then lanes.h, and writes its loops in a
// namespace HWY_NAMESPACE between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE: Highway includes the file again for each
// instruction set. Under HWY_ONCE, at its end, HWY_DYNAMIC_DISPATCH(function)(...) calls what HWY_EXPORT(function) has
// collected. Lambdas need HWY_ATTR: compilers do not pass the enclosing function's instruction set on to them.
#pragma once

#if LCNN_HAS_HIGHWAY
#include "hwy/foreach_target.h"
#else
// One instruction set, that of the compiler's flags, under the names that Highway gives.
#define HWY_BEFORE_NAMESPACE() static_assert(true)
#define HWY_AFTER_NAMESPACE() static_assert(true)
#define HWY_NAMESPACE compiled
#define HWY_ONCE 1
#define HWY_EXPORT(function) static_assert(true)
#define HWY_DYNAMIC_DISPATCH(function) HWY_NAMESPACE::function
#define HWY_INLINE inline __attribute__((always_inline))
#define HWY_ATTR
#endif
