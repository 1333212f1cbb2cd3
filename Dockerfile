# Three images from one file. The service is what a plain `docker build .` makes; the others have to be named:
#
#   docker build -t digits .                                      the service, on CPU
#   docker build -t digits-training --target training .           python -m training, with TensorFlow for CPUs
#   docker build -t digits-gpu --target service-gpu .             the service, on CUDA
#
# The base image can be replaced (--build-arg PYTHON_IMAGE=…) by any with Python 3.11 or newer of your own. It is pinned
# by tag; pin it by digest where your registry tells it to you.
# Written for BuildKit and for the builder before it, which makes every stage above the target: so the service is first.
ARG PYTHON_IMAGE=python:3.11.16-slim-trixie

# -- which wheels each image needs, with their hashes: pip takes no file that differs -----------------------------------
FROM ${PYTHON_IMAGE} AS requirements
WORKDIR /build
COPY requirements ./
# onnxruntime-gpu takes the place of onnxruntime: both hold the same files. tensorflow-cpu has no CUDA: a third of the size
RUN cat service.txt grpc.txt > image.txt \
    && sed '/^onnxruntime==/,/[^\]$/d' image.txt | cat - gpu.txt > image-gpu.txt \
    && sed '/^tensorflow==/,/[^\]$/d' training.txt | cat service.txt - tensorflow-cpu.txt > image-training.txt

# -- what the service needs: made where there is pip, taken over without it --------------------------------------------
FROM ${PYTHON_IMAGE} AS wheels
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY --from=requirements /build/image.txt ./
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python install \
        --only-binary :all: --no-compile --require-hashes -r image.txt
COPY deploy/image/slim.py ./
RUN python3 slim.py /opt/venv \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# -- our own files, compiled: the root file system will be read-only ---------------------------------------------------
FROM ${PYTHON_IMAGE} AS files
COPY models /app/models
COPY service /app/service
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app/service \
    && chmod -R a+rX,go-w /app \
    && mkdir -m 1777 /feedback

# -- what all three images share ---------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

# -- what both images of the service share -----------------------------------------------------------------------------
FROM base AS serving
# One thread for BLAS and few malloc arenas: their defaults follow the host's cores, not this container's share
ENV OPENBLAS_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2 \
    ORT_DISABLE_TELEMETRY=1 \
    DIGITS_HOST=0.0.0.0 \
    DIGITS_PORT=8000 \
    DIGITS_MODELS_DIR=/app/models \
    DIGITS_FEEDBACK_PATH=/feedback/digits.sqlite \
    DIGITS_WORKERS=auto \
    DIGITS_DRAIN_S=5 \
    DIGITS_GRACE_S=25
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/app/service/probe.py"]
ENTRYPOINT ["python", "-m", "service"]

# -- service -----------------------------------------------------------------------------------------------------------
FROM serving AS service
LABEL org.opencontainers.image.title="Digit Recognizer" \
      org.opencontainers.image.description="Handwritten digits in, digits out, over HTTP: ONNX Runtime on CPU"
COPY --from=wheels /opt/venv /opt/venv
COPY --from=files /feedback /feedback
COPY --from=files /app /app

# -- training ----------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS wheels-training
WORKDIR /build
COPY --from=requirements /build/image-training.txt ./
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --only-binary :all: --no-cache-dir --no-compile --require-hashes -r image-training.txt

FROM base AS training
LABEL org.opencontainers.image.title="Digit Recognizer: training" \
      org.opencontainers.image.description="From labelled digits to a published model: TensorFlow on CPU"
COPY --from=wheels-training /opt/venv /opt/venv
# The caches of Keras and Matplotlib go to HOME: the root file system is read-only
ENV TF_CPP_MIN_LOG_LEVEL=2 \
    HOME=/tmp
COPY service /app/service
COPY training /app/training
RUN chmod -R a+rX,go-w /app && mkdir -m 1777 /app/models /app/data /app/runs /feedback
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

# -- service-gpu: CUDA and cuDNN come as wheels, the driver from the host ----------------------------------------------
FROM ${PYTHON_IMAGE} AS wheels-gpu
WORKDIR /build
COPY --from=requirements /build/image-gpu.txt ./
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --only-binary :all: --no-cache-dir --no-compile --require-hashes -r image-gpu.txt
COPY deploy/image/slim.py ./
RUN python3 slim.py /opt/venv \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM serving AS service-gpu
LABEL org.opencontainers.image.title="Digit Recognizer (GPU)" \
      org.opencontainers.image.description="Handwritten digits in, digits out, over HTTP: ONNX Runtime on CUDA"
# Which parts of the driver NVIDIA's container runtime brings in. One worker: each would take memory of the GPU
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    DIGITS_PROVIDER=cuda \
    DIGITS_WORKERS=1
COPY --from=wheels-gpu /opt/venv /opt/venv
COPY --from=files /feedback /feedback
COPY --from=files /app /app

# -- the default: what a build without --target makes ------------------------------------------------------------------
FROM service
