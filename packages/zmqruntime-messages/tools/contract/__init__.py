"""Makes the contract: the files in ``src/zmqruntime/messages/contract`` that the wheel ships.

``nox -s contract`` runs it. None of it ships, so it may lean on what is installed for the tests.
"""
