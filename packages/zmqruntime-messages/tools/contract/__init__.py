"""Generator of the contract files in ``src/zmqruntime/messages/contract``.

Run by ``nox -s contract``; not part of the wheel.
"""
