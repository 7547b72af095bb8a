# Build: docker build -t sedas-sync .
# Run:   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" sedas-sync apply
FROM python:3.13-slim

COPY pyproject.toml README.md LICENSE /src/
COPY sedas_sync /src/sedas_sync
COPY packaging/man /src/packaging/man
RUN pip install --no-cache-dir "/src[blake3,quicklooks,s3,socks,stac,stac-geoparquet,totp,vector,vector-parquet]" && rm -rf /src

# The manifest and its mirror are mounted here.
WORKDIR /data
ENV HOME=/data
USER 1000:1000
ENTRYPOINT ["sedas-sync"]
CMD ["--help"]
