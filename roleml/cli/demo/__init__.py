"""`roleml demo`: federated averaging on real digits. Start reading at `application.py`."""
