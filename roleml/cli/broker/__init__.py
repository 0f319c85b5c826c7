"""`roleml broker`: starting a RabbitMQ, and preparing one for an application."""
