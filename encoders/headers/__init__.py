"""One header parser per container. Each reads sizes and never pixels."""
