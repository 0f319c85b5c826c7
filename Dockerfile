# An image with RoleML and what the extras in EXTRAS need: by default numpy and scikit-learn, and no torch.
#
#   docker build -t roleml .
#   docker build -t roleml-torch --build-arg EXTRAS=torch .
#   docker run --rm -v "$PWD:/work" -e ROLEML_BROKER=... roleml run client.yaml
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=digits
RUN python -m venv /opt/roleml
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY roleml roleml
RUN /opt/roleml/bin/pip install --no-cache-dir --no-compile ".[${EXTRAS}]" \
    # an image is not where libraries are tested, or packages installed
    && find /opt/roleml -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && rm -rf /opt/roleml/lib/python*/site-packages/pip*

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin roleml
COPY --from=build /opt/roleml /opt/roleml
ENV PATH=/opt/roleml/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    # a container has a share of the machine, and these libraries would count all of it
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
WORKDIR /work
USER roleml
ENTRYPOINT ["roleml"]
CMD ["--help"]
