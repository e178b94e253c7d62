# docker build -t hybridsim . && docker run --rm hybridsim run mobilebert ahwa_lora_2026
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir "/src[sweep,search,onnx,serve]" && rm -rf /src
# machine code is kept where any user can write
ENV HYBRIDSIM_CACHE_DIR=/tmp/hybridsim
RUN useradd --create-home user
USER user
WORKDIR /home/user
RUN hybridsim warm-up
ENTRYPOINT ["hybridsim"]
CMD ["--help"]
