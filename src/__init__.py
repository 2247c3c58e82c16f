from typing import TYPE_CHECKING, Any

from src.torchvision_cpu import patch_torchvision

if TYPE_CHECKING:
    from src.config import Config as Config

patch_torchvision()  # here, because `src` is imported before any module that imports torchvision, a user's too


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`from src import Config`; imported when it is asked for, since every module of src runs this file first."""
        if name != "Config":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from src.config import Config

        return Config
