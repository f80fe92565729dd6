"""Calls that must be type errors. Each line that ends in `# error` must be reported, and no other line.

Never run: `make types` checks this file with mypy and pyright.
"""

from moa_graph import ChatMoA, Mixture, MoAContext, Proposer, create_moa

create_moa("local", layer=3)  # error
create_moa("local", layers="3")  # error
create_moa("local", prompt="plain")  # error
create_moa("local", output="json")  # error
create_moa(proposers="openai:x", aggregator=7)  # error
ChatMoA("local", layer=3)  # error
ChatMoA("local", temprature=0)  # error
Mixture(proposers=["openai:x"], aggregators="openai:x")  # error
Mixture.load("local", layer=3)  # error
Mixture.load("local").changed(deadlines=3)  # error
Proposer("openai:x", temprature=1)  # error
Proposer()  # error
MoAContext(layer=2)  # error
create_moa("local").invoke({"messages": "q"}, context={"layer": 2})  # error
create_moa("local").invoke({"message": "q"})  # error
create_moa("local").invoke({"messages": 7})  # error
