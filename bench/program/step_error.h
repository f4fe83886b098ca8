// How far the convolutions of a step of training are from float64.
#pragma once

#include "kernels/reference.h"
#include "train/options.h"

namespace lcnn::train {
class Model;
}

namespace lcnn::bench {

// Forward and backward pass of one step of the options' network on random images, in mixed precision where they say so. Every
// convolution's output, and the gradients of its input and of its parameters, are compared with float64: from the same input, the
// same gradient of the output and the float32 parameters, LookupConv2d by dense weights, LibTorch's conv2d and its derivatives, so
// that none of our kernels has a part in it. (Two whole networks could not be compared so closely: the rounding of a value next to
// zero decides whether ReLU lets a gradient pass.) rel_err is the largest of all relative errors, the gradients of a layer's
// parameters being one vector: by itself that of a bias in front of batch normalization, or of a dictionary of one number, cancels.
// non_finite counts elements of the network's outputs and of all of its gradients.
lcnn::Comparison step_error(const train::Options& options);

// The same of a network that is there already.
lcnn::Comparison step_error(const train::Options& options, train::Model& model);

}  // namespace lcnn::bench
