"""The saved folder run by transformers: what the scores, the examples and the goldens go by.

Weights are read from the f16 file and run in f32. Pictures pass transformers' Pillow processor,
texts pass `tokenizer.json`.
"""
import one_thread  # first
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import CLIPModel

try:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Recipe
except ImportError:  # before transformers 5 the Pillow processor had the plain name
    from transformers import CLIPImageProcessor as Recipe

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent


class Reference:
    def __init__(self, folder=HERE):
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.recipe = Recipe.from_pretrained(folder)
        self.tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))

    def ids(self, text):
        return self.tokenizer.encode(text).ids

    @torch.no_grad()
    def pictures(self, images):
        """Unit-length rows [N,D] of PIL pictures."""
        rows = []
        for start in range(0, len(images), 100):
            pixels = self.recipe(images=images[start:start + 100], return_tensors="pt")
            state = self.model.vision_model(pixel_values=pixels["pixel_values"]).pooler_output
            rows.append(F.normalize(self.model.visual_projection(state), dim=-1))
        return torch.cat(rows).numpy()

    @torch.no_grad()
    def texts(self, texts):
        """Unit-length rows [N,D], one text at a time, so that no padding plays a part."""
        rows = []
        for text in texts:
            state = self.model.text_model(input_ids=torch.tensor([self.ids(text)])).pooler_output
            rows.append(F.normalize(self.model.text_projection(state), dim=-1)[0])
        return np.stack([r.numpy() for r in rows])
