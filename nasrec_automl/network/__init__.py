"""Networks: the supernet, which holds every choice of a space, and the subnet of one architecture."""

from nasrec_automl.network.head import clear_head
from nasrec_automl.network.network import Network
from nasrec_automl.network.subnet import Subnet
from nasrec_automl.network.supernet import Supernet

__all__ = ["Network", "Subnet", "Supernet", "clear_head"]
