"""Find the instruments that this computer can reach; nothing is opened, unless you name what to ask.

python lab_scripts/find_instruments.py [RESOURCE ...]

Opening a serial port can reset the board behind it, and an instrument may be in use by a colleague: so only what you
name is opened, asked who it is, and closed again.
"""

import argparse

from physnet.drivers.finding import look
from physnet.drivers.identifying import chosen, identify


def main() -> None:
    """List, and ask those that were named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("resources", nargs="*", help="ports and VISA names to open and ask")
    arguments = parser.parse_args()
    listing = look()
    for one in listing.found:
        print(f"{one.kind:<8}{one.name:<40}{one.about}")
    for note in listing.notes:
        print(f"not looked for: {note}")
    if arguments.resources:
        for one in chosen(listing.found, arguments.resources):
            asked = identify(one)
            print(f"{asked.name:<40}{asked.identity or asked.problem}")
            if asked.fits:
                print(f"{'':<40}driver: {', '.join(asked.fits)}")
    print("drivers: " + ", ".join(listing.drivers))


if __name__ == "__main__":
    main()
