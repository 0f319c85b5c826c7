"""`roleml broker`: preparing a RabbitMQ for an application."""
