"""A backup of training that a kill at any moment leaves whole."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.keras_internals import begin_at_epoch

_NAME = re.compile(r"epoch_(\d+)\.weights\.h5")
_UNFINISHED = "unfinished.weights.h5"


class AtomicBackup(keras.callbacks.Callback):
    """Backs up training after every epoch, so that a killed run goes on where it was.

    Takes the place of `keras.callbacks.BackupAndRestore`, which writes over its last backup, in
    two files: killed while it writes, it leaves one that cannot be read, or of another epoch
    than it says. Here a backup is one file, weights and state of the optimizer, written beside
    the last one and renamed when it is complete; then the last one goes. At the beginning of
    `fit` the newest backup is read, and `fit` goes on with the epoch after it. What Keras
    cannot save begins anew: other callbacks, and orders of data that are drawn as it comes
    (`keras_mtl.task_batches` with a seed goes on in its order).

    Args:
        backup_dir: Folder of the backups of one run, which is made when there are any.
        delete_checkpoint: Whether the backup goes when `fit` has ended. With `False` a script
            that is killed after `fit` trains no epoch again; delete the folder to begin anew.
            Defaults to `True`.

    Raises:
        ValueError: `backup_dir` is no path, or is a file; at the beginning of `fit`, a network
            that is not built, a backup of another network, or one that is damaged.

    Example:

    ```python
    model.fit(batches, epochs=90, callbacks=[keras_mtl.AtomicBackup("backup")])
    ```
    """

    def __init__(self, backup_dir: Any, delete_checkpoint: bool = True) -> None:
        super().__init__()
        if not isinstance(backup_dir, str | os.PathLike) or not os.fspath(backup_dir):
            raise ValueError(f"backup_dir must be the path of a folder. Received: {backup_dir!r}")
        if os.path.exists(backup_dir) and not os.path.isdir(backup_dir):
            raise ValueError(f"backup_dir must be a folder, but {backup_dir} is a file.")
        self.backup_dir = Path(backup_dir)
        self.delete_checkpoint = checks.flag("delete_checkpoint", delete_checkpoint)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self.model.built:
            raise ValueError(
                "AtomicBackup restores the weights at the beginning of fit, but this network has "
                "none yet. Call it on a batch of data before fit."
            )
        backups = self._backups()
        if backups:
            self._restore(backups[max(backups)])
            begin_at_epoch(self.model, max(backups))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        begin_at_epoch(self.model, None)  # a later fit begins where it is told to

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        unfinished = self.backup_dir / _UNFINISHED
        earlier = self._backups()
        self.model.save_weights(unfinished)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(self.backup_dir / f"epoch_{epoch + 1}.weights.h5")
        earlier.pop(epoch + 1, None)
        for file in earlier.values():
            file.unlink()

    def on_train_end(self, logs: Any = None) -> None:
        begin_at_epoch(self.model, None)
        if self.delete_checkpoint and self.backup_dir.is_dir():
            for file in [self.backup_dir / _UNFINISHED, *self._backups().values()]:
                file.unlink(missing_ok=True)
            if not any(self.backup_dir.iterdir()):
                self.backup_dir.rmdir()

    def _backups(self) -> Any:
        """Returns a dict, number of epochs that were over -> file, the newest last."""
        files = self.backup_dir.iterdir() if self.backup_dir.is_dir() else []
        found = [(_NAME.fullmatch(file.name), file) for file in files]
        return dict(sorted((int(match[1]), file) for match, file in found if match))

    def _restore(self, file: Any) -> None:
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "error", UserWarning
                )  # all that Keras says of a part left out
                self.model.load_weights(file)
        except (OSError, KeyError, ValueError, UserWarning) as error:
            raise ValueError(
                f"{file} cannot be restored: it is damaged, or the backup of another network or "
                f"optimizer. Delete it to begin anew, or give another backup_dir. Keras says: "
                f"{error}"
            ) from error
