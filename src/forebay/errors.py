"""Every error that Forebay raises on purpose.

::

    ForebayError
    ├── InputError (ValueError)            what the user gave is wrong: exit code 2
    │   ├── ConfigError                    a setting or option
    │   ├── RecipeError                    a recipe file
    │   ├── SourceError                    a dataset: malformed line, schema drift
    │   ├── UnhashableError (TypeError)    a value that no key can be made of
    │   ├── NotFoundError (LookupError)    a path, name, key or digest that does not exist
    │   ├── AccessError (PermissionError)  a repository is gated or private, and the token given does not open it
    │   └── BundleError                    a bundle is damaged, hostile, or not signed by whom it should be
    ├── StoreError (OSError)               the store could not do it; the job may go on without
    │   ├── StoreFullError                 no room within the budget or on the disk
    │   ├── StoreReadOnlyError             the store may not be written
    │   ├── ObjectMissingError             an object is not there (a miss)
    │   └── ObjectDamagedError             bytes do not match their name (quarantined, a miss)
    ├── OriginError (ConnectionError)      a hub or server cannot be reached or fails: later it may not
    │   └── WrongBytesError                an origin's bytes are not what their identity says
    ├── LeaseLostError (RuntimeError)      somebody took the work over
    ├── BuildError (RuntimeError)          the work itself failed: an operator raised
    └── CacheRequiredError (RuntimeError)  strict mode, and the result is not in the store

A message is one line: what, where, what to do. `retryable` says whether trying again can help.
"""

from __future__ import annotations


class ForebayError(Exception):
    """Root of the tree.

    Attributes:
        subject: the path, key, digest, operator … that the error is about, or None.
        hint: what to do about it, or "".
    """

    retryable = False
    exit_code = 1

    def __init__(self, what: str, *, subject: object = None, hint: str = "") -> None:
        if "\n" in what:  # somebody else's message within ours, told in one line all the same
            what = " ".join(what.split())
        self.what = what
        self.subject = subject
        self.hint = hint
        super().__init__(f"{what}; {hint}" if hint else what)


class InputError(ForebayError, ValueError):
    """What the user gave is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """A setting or option is wrong."""


class RecipeError(InputError):
    """A recipe is wrong."""


class SourceError(InputError):
    """A dataset cannot be read as it stands."""


class UnhashableError(InputError, TypeError):
    """A value that no key can be made of; `subject` is its attribute path."""


class NotFoundError(InputError, LookupError):
    """Something named by the user does not exist."""


class AccessError(InputError, PermissionError):
    """A repository is gated or private, and the token given, if any, does not open it."""


class BundleError(InputError):
    """A bundle is damaged, hostile, incomplete or not signed by whom it should be; nothing of it was installed."""


class StoreError(ForebayError, OSError):
    """The store could not do what was asked; the job can go on without it."""


class StoreFullError(StoreError):
    """No room: neither within the budget nor by eviction, or the disk is full.

    Attributes:
        on_its_way: bytes of the budget that other processes have reserved; later there may be room.
    """

    retryable = True
    on_its_way = 0


class StoreReadOnlyError(StoreError):
    """The store may not be written by this process."""


class ObjectMissingError(StoreError):
    """An object is not there; treat as a miss."""


class ObjectDamagedError(StoreError):
    """Bytes did not match their name; they are in quarantine, treat as a miss."""


class OriginError(ForebayError, ConnectionError):
    """A hub or server cannot be reached, or fails; what it holds may be there all the same."""

    retryable = True


class WrongBytesError(OriginError):
    """An origin's bytes are not what their identity says; nothing of them was kept."""

    retryable = False


class LeaseLostError(ForebayError, RuntimeError):
    """Somebody else took over work that this process held a lease for."""

    retryable = True


class BuildError(ForebayError, RuntimeError):
    """The work itself failed."""


class CacheRequiredError(ForebayError, RuntimeError):
    """Strict mode: the result is not in the store and may not be computed."""
