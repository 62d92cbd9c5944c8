"""How each family of timm networks carries feedback: one file a family, and the table that knows them all."""
