"""HTTP/1.1 on both sides of the gateway: clients' connections and pods' connections. It knows no scaling."""
