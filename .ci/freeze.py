"""Print the versions of what is installed in this environment, as `constraints.txt` holds them.

Without the project itself, sam2 (`.ci/sam2.txt` has its hash) and local versions such as ``+cpu``.
"""

from importlib.metadata import distributions

LEFT_OUT = {"ibisagent", "sam2"}

versions = {each.name.lower().replace("_", "-"): each.version.partition("+")[0] for each in distributions()}
print("# What demo and test install, exactly; written by `make constraints`, never by hand.")
for name in sorted(versions.keys() - LEFT_OUT):
    print(f"{name}=={versions[name]}")
