#!/usr/bin/env python3
"""Writes a CSV file to import: benches/gen_csv.py FILE [ROWS] [--repeat PERCENT] [--dirty PERCENT]

Ten columns, about 187 bytes a row, every twelfth row with a newline in quotes; the same bytes at every call. With --repeat so many of
the rows have the id of an earlier one; with --dirty so many have an amount that is no number."""
import random
import sys

arguments = sys.argv[1:]


def option(name):
    if name not in arguments:
        return 0
    at = arguments.index(name)
    value = float(arguments[at + 1])
    del arguments[at : at + 2]
    return value / 100


repeat, dirty = option("--repeat"), option("--dirty")
path, rows = arguments[0], int(arguments[1]) if len(arguments) > 1 else 2_000_000
r = random.Random(1)
first = "Ada Boris Chloé Dörte Émile Farah Grete Håkon Inês José".split()
last = "Lovelace Müller O'Brien Nowak García Åkesson Smith Jones Žižka Rossi".split()
city = ["Berlin", "São Paulo", "Köln", "New York", "Łódź", "Kraków", "Malmö", "Lyon", "Porto", "\"Den Haag, NL\""]
words = "stock price order customer invoice weight colour large small green red returned checked packed shipped on hold again".split()
notes = [" ".join(r.choice(words) for _ in range(r.randint(4, 11))) for _ in range(997)]
with open(path, "w", encoding="utf-8", newline="") as out:
    out.write("id,key,name,email,city,amount,quantity,ratio,created_at,notes\n")
    for n in range(rows):
        a, b = first[n * 7 % 10], last[n // 10 * 3 % 10]
        note = notes[n % 997]
        if n % 12 == 0:
            note = f'"{note},\nsaid ""{a}"""'
        elif n % 5 == 0:
            note = f'"{note}, {b}"'
        number = r.randrange(n) if repeat and n and r.random() < repeat else n
        amount = "n/a" if dirty and r.random() < dirty else f"{n * 7919 % 499999 / 100:.2f}"
        out.write(
            f"{number},{n * 2654435761 % 2**32:08x}-{n % 65536:04x}-4{n % 4096:03x}-8{n * 31 % 4096:03x}-{n * 97:012x},{a} {b},"
            f"{b.lower().replace(chr(39), '')}{n}@example.com,{city[n % 10]},{amount},{n % 1000},{n % 9973 / 9973:.6f},"
            f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 60:02}:{n * 7 % 60:02}Z,{note}\n"
        )
