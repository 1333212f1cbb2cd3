# Three images from one file. The service is what a plain `docker build .` makes; the others have to be named:
#
#   docker build -t digits .                                      the service, on CPU
#   docker build -t digits-training --target training .           python -m training, with TensorFlow for CPUs
#   docker build -t digits-gpu --target service-gpu .             the service, on CUDA
#
# Base images can be replaced (--build-arg PYTHON_IMAGE=…) by any with Python 3.11 or newer of your own. They are pinned
# by tag; pin them by digest where your registry tells it to you.
# Written for BuildKit and for the builder before it, which makes every stage above the target: so the service is first.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

# -- which wheels each image needs: another line of pyproject.toml does not make them anew ------------------------------
FROM ${PYTHON_IMAGE} AS requirements
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/image/requirements.py ./
# onnxruntime-gpu comes out later than onnxruntime, so it is not pinned; tensorflow-cpu has no CUDA: a third of the size
RUN python3 requirements.py grpc > service.txt \
    && sed 's/^onnxruntime\b/onnxruntime-gpu/' service.txt > service-gpu.txt \
    && python3 requirements.py training | sed 's/^tensorflow\b/tensorflow-cpu/' > training.txt \
    && sed 's/^tensorflow==/tensorflow-cpu==/' constraints.txt > pins.txt

# -- what the service needs: made where there is pip, taken over without it --------------------------------------------
FROM ${PYTHON_IMAGE} AS wheels
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY --from=requirements /build/service.txt /build/pins.txt ./
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python install \
        --only-binary :all: --no-compile -c pins.txt -r service.txt
COPY deploy/image/slim.py ./
RUN python3 slim.py /opt/venv \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# -- our own files, compiled: the root file system will be read-only ---------------------------------------------------
FROM wheels AS files
COPY models /app/models
COPY service /app/service
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/service \
    && chmod -R a+rX,go-w /app \
    && mkdir -m 1777 /feedback

# -- service -----------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS service
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Digit Recognizer" \
      org.opencontainers.image.description="Handwritten digits in, digits out, over HTTP: ONNX Runtime on CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# One thread for BLAS and few malloc arenas: their defaults follow the host's cores, not this container's share
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2 \
    ORT_DISABLE_TELEMETRY=1 \
    DIGITS_HOST=0.0.0.0 \
    DIGITS_PORT=8000 \
    DIGITS_MODELS_DIR=/app/models \
    DIGITS_FEEDBACK_PATH=/feedback/digits.sqlite \
    DIGITS_WORKERS=auto \
    DIGITS_DRAIN_S=5 \
    DIGITS_GRACE_S=25
WORKDIR /app
COPY --from=wheels /opt/venv /opt/venv
COPY --from=files /feedback /feedback
COPY --from=files /app /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "/app/service/probe.py"]
ENTRYPOINT ["python", "-m", "service"]

# -- training ----------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS training
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Digit Recognizer: training" \
      org.opencontainers.image.description="From labelled digits to a published model: TensorFlow on CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=requirements /build/training.txt /build/pins.txt /build/
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --only-binary :all: --no-cache-dir --no-compile -c /build/pins.txt -r /build/training.txt
# The caches of Keras and Matplotlib go to HOME: the root file system is read-only
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    HOME=/tmp
WORKDIR /app
COPY service /app/service
COPY training /app/training
RUN chmod -R a+rX,go-w /app && mkdir -m 1777 /app/models /app/data /app/runs /feedback
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

# -- service-gpu -------------------------------------------------------------------------------------------------------
FROM ${CUDA_IMAGE} AS service-gpu
ARG CUDA_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Digit Recognizer (GPU)" \
      org.opencontainers.image.description="Handwritten digits in, digits out, over HTTP: ONNX Runtime on CUDA" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${CUDA_IMAGE}"
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY --from=requirements /build/service-gpu.txt /build/pins.txt ./
COPY deploy/image/slim.py ./
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --only-binary :all: --no-cache-dir --no-compile -c pins.txt -r service-gpu.txt \
    && python3 slim.py /opt/venv \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    DIGITS_HOST=0.0.0.0 \
    DIGITS_PORT=8000 \
    DIGITS_PROVIDER=cuda \
    DIGITS_MODELS_DIR=/app/models \
    DIGITS_FEEDBACK_PATH=/feedback/digits.sqlite \
    DIGITS_WORKERS=1 \
    DIGITS_DRAIN_S=5 \
    DIGITS_GRACE_S=25
WORKDIR /app
COPY models /app/models
COPY service /app/service
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/service \
    && chmod -R a+rX,go-w /app \
    && mkdir -m 1777 /feedback
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/app/service/probe.py"]
ENTRYPOINT ["python", "-m", "service"]

# -- the default: what a build without --target makes ------------------------------------------------------------------
FROM service
