"""RabbitMQ as the broker; the only package that imports pika."""
