"""The supernet: every choice of a space, sharing weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from nasrec_automl.architecture import MERGED_TOKENS, Architecture, Path
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.network import Network
from nasrec_automl.network.plan import merged_name, source_name, supernet_plan
from nasrec_automl.network.subnet import Subnet
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace


class Supernet(Network):
    """Runs any architecture or path of its space with shared weights.

    For every architecture the logits are those of the subnet that `extract` returns.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from nasrec_automl import FeatureSchema, load_search_space
        >>> space = load_search_space("nasrec-full")
        >>> supernet = Supernet(space, FeatureSchema.from_sizes(dense=3, table_sizes=[9, 9]))
        >>> architecture = space.random(np.random.default_rng(0))
        >>> supernet(torch.rand(5, 3), torch.randint(9, (5, 2)), architecture).shape
        torch.Size([5])
    """

    def __init__(
        self,
        space: SearchSpace,
        schema: FeatureSchema,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        embedding: Embedding | None = None,
    ) -> None:
        plan = supernet_plan(space, schema, layer_norm=layer_norm)
        super().__init__(plan, schema, layer_norm=layer_norm, dropout=dropout, embedding=embedding)
        self.space = space

    def forward(self, dense: Tensor, ids: Tensor, choice: Architecture | Path) -> Tensor:
        """Logits of one architecture or path.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)` int64.
            choice: of this supernet's space; an architecture of another space must be a point of it too.

        Returns:
            `(B,)`.

        Raises:
            ArchitectureError: an architecture or path that is no point of the space.
        """
        return self.run_path(dense, ids, self._path(choice))

    def features(self, dense: Tensor, ids: Tensor, choice: Architecture | Path) -> Tensor:
        """What the head reads, `(B, d + E N)`."""
        path = self._path(choice)
        return torch.cat([self.head.features(self.last_source(*rows, path)) for rows in self._parts(dense, ids)])

    def head_weight(self, architecture: Architecture) -> Tensor:
        """The head's weights for `features` of an architecture, `(d + E N,)`."""
        architecture = self.space.adopt(architecture)
        last, number = architecture.blocks[-1], len(architecture.blocks)
        tokens = {source_name(number): last.sparse_dim}
        if last.dense_to_sparse:
            tokens[merged_name(number)] = MERGED_TOKENS
        return self.head.weight(last.dense_dim, tokens)

    def _path(self, choice: Architecture | Path) -> Path:
        """The path to run; one that is not of the space would be cut to other sizes without a word."""
        if isinstance(choice, Path):
            self.space.validate_path(choice)
            return choice
        return self.space.adopt(choice).path

    def extract(self, architecture: Architecture, *, dropout: float = 0.0) -> Subnet:
        """Copy an architecture's slices into a stand-alone network.

        Every parameter of the subnet has the name of the supernet's and is a leading slice of it.

        Args:
            architecture: a point of this supernet's space. That of the subnet is always of it.
            dropout: of the subnet.

        Raises:
            ArchitectureError: it is no such point.
        """
        architecture = self.space.validate_architecture(architecture)
        with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten, and may move no one's generator
            subnet = Subnet(
                architecture,
                self.schema,
                layer_norm=self.layer_norm,
                dropout=dropout,
                embedding=copy.deepcopy(self.embedding),
            ).to(self.embedding.weight)
        mine = dict(self.named_parameters())
        with torch.no_grad():
            for name, parameter in subnet.named_parameters():
                if name.startswith("embedding."):  # copied whole
                    continue
                parameter.copy_(mine[name][tuple(slice(size) for size in parameter.shape)])
        return subnet.train(self.training)
