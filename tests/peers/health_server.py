"""A gRPC server with a health service: SIGUSR1 lets the service `orders` serve, SIGUSR2 stops it."""

import signal
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

service = health.HealthServicer()
serving = health_pb2.HealthCheckResponse.SERVING
service.set("orders", serving)
server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
health_pb2_grpc.add_HealthServicer_to_server(service, server)
if not server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}"):
    sys.exit("the port is taken")
server.start()
moods = {signal.SIGUSR1: serving, signal.SIGUSR2: health_pb2.HealthCheckResponse.NOT_SERVING}
for number in moods:
    signal.signal(number, lambda number, _: service.set("orders", moods[number]))
while True:
    signal.pause()
