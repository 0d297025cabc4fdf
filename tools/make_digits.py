"""Split scikit-learn's digits and keep them with the package: `python tools/make_digits.py`.

The package then needs no scikit-learn, which takes a second to import, to start.
"""

import sklearn.datasets
import torch
from safetensors.torch import save
from sklearn.model_selection import train_test_split

from vae_tutorial.data import FILE
from vae_tutorial.files import write_whole

SAID = {
    "source": "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI "
    "Machine Learning Repository, https://doi.org/10.24432/C50P49, in the copy of scikit-learn",
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0",
    "pixels": "rows of 8 by 8, whole numbers from 0 (paper) to 16 (ink)",
    "split": "train_test_split(test_size=297, stratify=labels, random_state=0)",
}


def main() -> None:
    images, labels = sklearn.datasets.load_digits(return_X_y=True)  # (1797, 64), (1797,)
    parts = train_test_split(images, labels, test_size=297, stratify=labels, random_state=0)
    names = ("train", "test", "train_labels", "test_labels")
    kept = {
        name: torch.tensor(part, dtype=torch.uint8) for name, part in zip(names, parts, strict=True)
    }
    write_whole(FILE, save(kept, SAID))
    print(f"{FILE.name}: {len(kept['train'])} and {len(kept['test'])} digits")


if __name__ == "__main__":
    main()
