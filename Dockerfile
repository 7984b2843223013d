# The program in an image without compilers:
#
#     docker build -t dqn-trader .
#     docker run --rm --shm-size=1g -v "$PWD/results:/home/trader/results" dqn-trader --mode parallel --output results
#
# Keys come from the environment (docker run -e AZURE_STORAGE_CONNECTION_STRING): none is put into the image.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN rustup toolchain install && ./scripts/setup.sh && ./scripts/bundle.sh /bundle

FROM debian:bookworm-slim
# mpirun, and ssh for jobs over several machines. Host keys do not belong into an image.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates openmpi-bin openssh-client openssh-server \
  && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
COPY deploy/sshd_config /etc/ssh/sshd_trader
COPY deploy/ssh_config /etc/ssh/ssh_config.d/dqn-trader.conf
COPY --from=build /bundle /opt/dqn-trader
RUN useradd --create-home trader && mkdir /home/trader/results && chown trader /home/trader/results \
  && ln -s /opt/dqn-trader/dqn-trader /opt/dqn-trader/run_with_env.sh /usr/local/bin/
USER trader
WORKDIR /home/trader
ENTRYPOINT ["dqn-trader"]
