"""Baselines of torch-rechub: its networks on our columns, tables and batches, with our optimisers and early stop."""

from abc import abstractmethod
from typing import Any, ClassVar

import optuna
import torch
from torch import Tensor, nn
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.basic.initializers import XavierNormal
from torch_rechub.basic.layers import CIN, LR, MLP, EmbeddingLayer
from torch_rechub.models.ranking import AutoInt, DCNv2, DeepFM

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.scratch import ScratchOptions, predict_logits, train_network
from nasrec_automl.hyper_space import load_hyper_space
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.seed import seeded
from tests.benchmarks.baselines.method import Fitted, Method, Report

_SPACE = load_hyper_space("retrain-default")
_OPTIMIZERS = ("adam", "adagrad")


class Columns:
    """The library's features of a schema; a network's tables are made of them, so each has its own.

    Tables have a row for every id, also where ours are capped or compositional, which the library does not know.
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self.dense = [DenseFeature(f"dense{i}") for i in range(schema.num_dense)]
        self.sparse = []
        for i, field in enumerate(schema.fields):
            shape = {"vocab_size": field.table_size, "embed_dim": schema.embedding_dim, "initializer": XavierNormal()}
            if field.columns > 1:
                feature = SequenceFeature(f"field{i}", pooling=field.pooling, padding_idx=0, **shape)
            else:
                feature = SparseFeature(f"field{i}", **shape)
            self.sparse.append(feature)


class Adapted(nn.Module):
    """A network of the library as `network(dense, ids) -> logits`.

    Args:
        network: takes columns by name and gives probabilities.
        schema: of the columns.
    """

    def __init__(self, network: nn.Module, schema: FeatureSchema) -> None:
        super().__init__()
        self.network = network
        self.widths = [field.columns for field in schema.fields]
        for module in network.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = True  # as ours: a step pays for the rows of its batch

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        columns = {f"dense{i}": column for i, column in enumerate(dense.unbind(1))}
        for i, field in enumerate(ids.split(self.widths, dim=1)):
            columns[f"field{i}"] = field if self.widths[i] > 1 else field.squeeze(1)
        # The probability is a sigmoid in float32: beyond 13.8 a logit is lost.
        return torch.logit(self.network(columns), eps=1e-6)


class XDeepFM(nn.Module):
    """xDeepFM (arXiv 1803.05170) of the library's layers: it has the CIN, and no model around it."""

    def __init__(self, columns: Columns, cin_layers: list[int], mlp: dict[str, Any]) -> None:
        super().__init__()
        self.columns = columns
        width = sum(feature.embed_dim for feature in [*columns.sparse, *columns.dense])
        self.embedding = EmbeddingLayer([*columns.sparse, *columns.dense])
        self.linear = LR(width)
        self.cin = CIN(len(columns.sparse), cin_layers)
        self.mlp = MLP(width, **mlp)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        flat = self.embedding(x, [*self.columns.sparse, *self.columns.dense], squeeze_dim=True)
        tokens = self.embedding(x, self.columns.sparse, squeeze_dim=False)
        return torch.sigmoid((self.linear(flat) + self.cin(tokens) + self.mlp(flat)).squeeze(1))


class Network(Method):
    """What the library's networks share: MLP, optimiser, training."""

    defaults: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "learning_rate/adam": 1e-3,
        "weight_decay": 1e-5,
        "embedding_decay": 3e-4,
        "dropout": 0.2,
        "batch_size": 256,
        "width": 128,
        "depth": 2,
    }

    def suggest(self, trial: optuna.Trial) -> None:
        optimizer = trial.suggest_categorical("optimizer", _OPTIMIZERS)
        low, high = _SPACE.learning_rate[optimizer].limits
        trial.suggest_float(f"learning_rate/{optimizer}", low, high, log=True)
        trial.suggest_float("weight_decay", *_SPACE.weight_decay.limits, log=True)
        trial.suggest_float("embedding_decay", *_SPACE.embedding_decay.limits, log=True)
        trial.suggest_float("dropout", *_SPACE.dropout.limits)
        trial.suggest_categorical("batch_size", _SPACE.batch_size.choices)
        trial.suggest_categorical("width", (64, 128, 256, 512))
        trial.suggest_int("depth", 1, 4)

    @abstractmethod
    def build(self, columns: Columns, params: dict[str, Any]) -> nn.Module:
        """Make a network with new weights."""

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        epoch = self._epoch(params, rows)
        validations = 0

        def on_validation(step: int, metrics: Metrics) -> bool:
            nonlocal validations
            validations += 1
            return report(validations, metrics.log_loss)

        network = self._new(params, seed)
        course = train_network(
            network,
            rows,
            validation,
            self._options(params, rows, seed),
            on_validation=on_validation,
        )
        return Fitted(lambda some: predict_logits(network, some), course.step / epoch)

    def _new(self, params: dict[str, Any], seed: int) -> Adapted:
        with seeded(seed):
            return Adapted(self.build(Columns(self.schema), params), self.schema)

    def _epoch(self, params: dict[str, Any], rows: Rows) -> int:
        return max(1, len(rows) // params["batch_size"])

    def _options(self, params: dict[str, Any], rows: Rows, seed: int) -> ScratchOptions:
        config, epoch = self.job.retrain, self._epoch(params, rows)
        return ScratchOptions(
            batch_size=params["batch_size"],
            optimizer=params["optimizer"],
            learning_rate=params[f"learning_rate/{params['optimizer']}"],
            weight_decay=params["weight_decay"],
            embedding_decay=params.get("embedding_decay"),  # tuning from before it was tuned has none
            average_weights=config.average_weights,
            clip_norm=config.clip_norm,
            eps=config.eps,
            seed=seed,
            steps=config.epochs(len(rows)) * epoch,
            validate_every=max(1, epoch // config.validations(len(rows))),
            patience=config.patience,
            device=self.job.device,
            precision=self.job.precision,
        )


def _mlp(params: dict[str, Any]) -> dict[str, Any]:
    return {"dims": [params["width"]] * params["depth"], "dropout": params["dropout"]}


class DeepFMMethod(Network):
    name = "DeepFM"

    def build(self, columns: Columns, params: dict[str, Any]) -> nn.Module:
        return DeepFM([*columns.sparse, *columns.dense], columns.sparse, _mlp(params))


class DCNv2Method(Network):
    """With full cross matrices, beside the MLP."""

    name = "DCNv2"
    defaults: ClassVar[dict[str, Any]] = {**Network.defaults, "cross_layers": 2}

    def suggest(self, trial: optuna.Trial) -> None:
        super().suggest(trial)
        trial.suggest_int("cross_layers", 1, 4)

    def build(self, columns: Columns, params: dict[str, Any]) -> nn.Module:
        features = [*columns.sparse, *columns.dense]
        return DCNv2(features, params["cross_layers"], _mlp(params), use_low_rank_mixture=False)


class AutoIntMethod(Network):
    """With an MLP, which its paper calls AutoInt+."""

    name = "AutoInt"
    defaults: ClassVar[dict[str, Any]] = {**Network.defaults, "attention_layers": 2, "heads": 2}

    def suggest(self, trial: optuna.Trial) -> None:
        super().suggest(trial)
        trial.suggest_int("attention_layers", 1, 4)
        trial.suggest_categorical("heads", (1, 2, 4))

    def build(self, columns: Columns, params: dict[str, Any]) -> nn.Module:
        return AutoInt(
            columns.sparse,
            columns.dense,
            num_layers=params["attention_layers"],
            num_heads=params["heads"],
            dropout=params["dropout"],
            mlp_params=_mlp(params),
        )


class XDeepFMMethod(Network):
    name = "xDeepFM"
    defaults: ClassVar[dict[str, Any]] = {**Network.defaults, "cin_layers": 2, "cin_width": 32}

    def suggest(self, trial: optuna.Trial) -> None:
        super().suggest(trial)
        trial.suggest_int("cin_layers", 1, 3)
        trial.suggest_categorical("cin_width", (16, 32, 64))

    def build(self, columns: Columns, params: dict[str, Any]) -> nn.Module:
        return XDeepFM(columns, [params["cin_width"]] * params["cin_layers"], _mlp(params))


NETWORKS = (DeepFMMethod, DCNv2Method, AutoIntMethod, XDeepFMMethod)
