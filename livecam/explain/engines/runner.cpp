// Runs a compiled program. torch's own Python binding does the same, but holds the interpreter lock all the while, so
// that reading, drawing and writing would stand still. Methods of a class like this one are called without it.

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/custom_class.h>

struct Program : torch::CustomClassHolder {
  explicit Program(const std::string& path) : loader(path, "model", /*run_single_threaded=*/true) {}

  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) { return loader.run(inputs); }

  torch::inductor::AOTIModelPackageLoader loader;
};

TORCH_LIBRARY(livecam, library) {
  library.class_<Program>("Program").def(torch::init<std::string>()).def("run", &Program::run);
}
