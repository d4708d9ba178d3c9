Files *.toml here are read after ../lectern.toml, by name; what they set wins. Each may hold any of its sections:

    # 50-broker.toml
    [mqtt]
    url = "mqtt://broker.example:1883"

See lectern.toml(5).
