"""Encoded images -> pixels. Glue: the work is in resnet50_triton.decode."""

from resnet50_triton.triton.preprocess_model import PreprocessModel


class TritonPythonModel:
    def initialize(self, args):
        self.model = PreprocessModel(args, __file__)

    def execute(self, requests):
        return self.model.execute(requests)

    def finalize(self):
        self.model.close()
