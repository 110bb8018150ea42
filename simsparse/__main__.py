"""``python -m simsparse`` is the command line."""

from simsparse.cli import main

if __name__ == "__main__":
    main()
