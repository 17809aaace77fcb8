"""Students by name: keyword arguments of StudentConfig.

`edge` and `web` were chosen among 30 convolutional and hybrid backbones of timm by the time of the
whole student in ONNX Runtime: FP32, one thread, interleaved, smallest processor time of 25 runs; in
the browser (Chromium, WebAssembly) smallest time of 160 runs, beside other work.

| backbone                | parameters | 128 px  | 256 px  | browser, 128 px |
|-------------------------|------------|---------|---------|-----------------|
| mobilenetv4_conv_small  | 1.6 M      | 3.1 ms  | 10.1 ms | 14.9 ms         | web
| efficientvit_b0         | 0.9 M      | 3.1 ms  | 11.0 ms | 13.2 ms         |
| mobileone_s0            | 1.4 M      | 3.5 ms  | 11.5 ms | 16.7 ms         |
| mobilenetv3_large_100   | 3.3 M      | 4.0 ms  | 12.5 ms | 18.2 ms         |
| swiftformer_xs, cut     | 1.3 M      | 4.0 ms  | 13.0 ms | 15.3 ms         | edge
| fastvit_t8              | 3.4 M      | 5.4 ms  | 18.3 ms |                 |
| convnext_atto           | 3.6 M      | 5.5 ms  | 18.4 ms |                 |
| mobilenetv4_conv_medium | 7.5 M      | 6.3 ms  | 20.2 ms |                 |
| swiftformer_xs          | 3.3 M      | 6.4 ms  | 21.5 ms |                 |
| repvit_m0_9             | 5.0 M      | 6.6 ms  | 21.9 ms |                 |
| vit_small_patch16_dinov3| 5.8 M      | 9.5 ms  | 31.2 ms |                 | tiny

`web` takes the least time, there and in the browser, of those with more than 1.5 million
parameters, and no faster one has as many as `edge`. `tiny` is a narrow DINOv3 for which no weights
are published.
"""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "edge": {
        "backbone": "swiftformer_xs",
        "backbone_arguments": {"embed_dims": [32, 48, 96, 160], "layers": [1, 1, 3, 2]},
        "decoder_dim": 64,
    },
    "tiny": {
        "backbone": "vit_small_patch16_dinov3",
        "backbone_arguments": {"embed_dim": 192, "num_heads": 3},
        "decoder_dim": 64,
    },
    "small": {
        "backbone": "vit_small_patch16_dinov3",
        "backbone_arguments": {},
        "decoder": "residual",
        "decoder_dim": 96,
    },
    "base": {
        "backbone": "vit_base_patch16_dinov3",
        "backbone_arguments": {},
        "decoder": "residual",
        "decoder_dim": 128,
    },
    "web": {"backbone": "mobilenetv4_conv_small", "backbone_arguments": {}, "decoder_dim": 64},
}
