"""The packet filter: pods reach each other and nothing outside; afterwards the rules of every part are removed."""

import re
import subprocess

from tests.cluster import layout, packages

_OURS = re.compile(rf"\bKUBE-|{layout.BRIDGE}")


def keep_pods_in() -> None:
    """Between pods forward packets, even where Docker made dropping the default; refuse those that would leave."""
    stays = ["--in-interface", layout.BRIDGE, "--out-interface", layout.BRIDGE, "--jump", "ACCEPT"]
    leaves = ["--in-interface", layout.BRIDGE, "!", "--out-interface", layout.BRIDGE, "--jump", "REJECT"]
    for rule in (stays, leaves):
        subprocess.run([packages.path_of("iptables"), "--wait", "--insert", "FORWARD", *rule], check=True)


def clean_firewall() -> None:
    """Remove every chain called KUBE-, and the rules that jump to them or name the bridge."""
    for family in ("iptables", "ip6tables"):
        saved = subprocess.run([packages.path_of(f"{family}-save")], check=True, capture_output=True, text=True).stdout
        for commands in _removals(saved):
            restore = [packages.path_of(f"{family}-restore"), "--noflush", "--wait"]
            subprocess.run(restore, input=commands, check=True, text=True)


def _removals(saved: str) -> list[str]:
    """For each table that needs it, what iptables-restore is to be told."""
    removals = []
    for table in saved.split("COMMIT\n"):
        lines = table.splitlines()
        name = next((line for line in lines if line.startswith("*")), None)
        chains = [line[1:].split()[0] for line in lines if line.startswith(":KUBE-")]
        rules = [f"-D{line[2:]}" for line in lines if re.match("-A (?!KUBE-)", line) and _OURS.search(line)]
        if name and (chains or rules):
            # Naming a chain empties it; once none refers to another they can be deleted.
            commands = [name, *(f":{chain} - [0:0]" for chain in chains), *rules, *(f"-X {chain}" for chain in chains)]
            removals.append("\n".join([*commands, "COMMIT\n"]))
    return removals
