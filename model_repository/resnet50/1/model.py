"""Pixels -> logits on the cards. Glue: the work is in resnet50_triton.triton.kernel_model."""

from resnet50_triton.triton import config
from resnet50_triton.triton.kernel_model import KernelModel


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        return config.complete_config(auto_complete_model_config, __file__)

    def initialize(self, args):
        self.model = KernelModel(args, __file__)

    def execute(self, requests):
        return self.model.execute(requests)

    def is_ready(self):  # asked by Triton from 26.03 on
        return self.model.is_ready()

    def finalize(self):
        self.model.close()
