"""Zerotrain from Python: plan, generate, train, predict, export. docs/api.md is its manual."""

from zerotrain.api.arrays import arrays
from zerotrain.api.design import Design
from zerotrain.api.prediction import Prediction
from zerotrain.api.run import Run
from zerotrain.exchange.parameters import LayerParameters, Parameters
from zerotrain.host.trainer import Row

__all__ = ["Design", "LayerParameters", "Parameters", "Prediction", "Row", "Run", "arrays"]
