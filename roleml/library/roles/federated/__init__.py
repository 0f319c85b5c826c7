"""Federated averaging, one responsibility per role.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017
(arXiv:1602.05629). The server actor hosts `coordinator`, `client-selector`, `configurator` and
`aggregator`; each client a `trainer`, which is a member of the server's relationship `client`.
"""
