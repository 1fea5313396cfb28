"""Runs the program of every case in a folder, as `__main__` and imported, and prints the keys of its `fn` as JSON.

Modules that a case has loaded are dropped after it, so that many cases fit into one process.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from pathlib import Path

from forebay.fingerprint import tree


def keys_of(case: Path) -> dict[str, dict[str, object]]:
    after = (case / "after").read_text("utf-8") if (case / "after").exists() else ""
    found = {}
    for how in ("__main__", "imported"):
        loaded, path, folder, environ = set(sys.modules), list(sys.path), os.getcwd(), dict(os.environ)
        main = sys.modules["__main__"]
        sys.path[:0] = [str(case), str(case / "site-packages")]
        try:
            module = _load(case / "ops.py", how)
            key = tree(module.fn, label="fn")
            found[how] = {"digest": key.digest, "cacheable": key.cacheable, "reason": key.reason}
            exec(after, module.__dict__)
        except Exception as error:  # noqa: BLE001 - a case that fails is told with the others
            traceback.print_exc()
            found[how] = {"error": f"{type(error).__name__}: {error}"}
        finally:
            sys.modules["__main__"] = main
            sys.path[:] = path
            os.chdir(folder)
            for name in set(sys.modules) - loaded:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if file.startswith(str(case)):
                    del sys.modules[name]
            os.environ.clear()
            os.environ.update(environ)
    return found


def _load(path: Path, how: str) -> types.ModuleType:
    if how == "imported":
        import ops

        return ops
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    root = Path(sys.argv[1])
    print(json.dumps({case.name: keys_of(case) for case in sorted(root.iterdir())}))
