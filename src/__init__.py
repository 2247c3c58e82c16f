from src.torchvision_cpu import patch_torchvision

patch_torchvision()  # here, because `src` is imported before any module that imports torchvision, a user's too
