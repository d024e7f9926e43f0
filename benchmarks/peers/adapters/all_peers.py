"""All rows, in the order of the table."""

from .file_system import FileSystem
from .infinistore import InfiniStore
from .limits import FusedCopy, RawUcxShm, RawUcxTcp
from .lmcache import LmcacheResp, LmcacheServer
from .memcached import Memcached
from .mooncake import MooncakeDummy, MooncakeTcp
from .nixl import NixlShm, NixlTcp
from .resp import Redis, RedisPy, Valkey
from .tarn import TarnGrpc, TarnLocal, TarnShm, TarnTcp

PEERS = (
    *(TarnLocal, TarnShm, MooncakeDummy, NixlShm, FileSystem, FusedCopy, RawUcxShm),
    *(TarnTcp, TarnGrpc, Memcached, Valkey, Redis, RedisPy, MooncakeTcp, NixlTcp),
    *(LmcacheServer, LmcacheResp, InfiniStore, RawUcxTcp),
)
