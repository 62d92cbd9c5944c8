() => {
  // An image pasted or dropped anywhere on the page goes the way of the upload field.
  const give = (files) => {
    const image = [...files].find((file) => file.type.startsWith("image/"));
    const input = document.querySelector("#file input[type=file]");
    if (!image || !input) return false;
    const carrier = new DataTransfer();
    carrier.items.add(image);
    input.files = carrier.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  document.addEventListener("paste", (event) => {
    if (give(event.clipboardData?.files ?? [])) event.preventDefault();
  });
  const inField = (event) => event.target.closest?.("#file");
  document.addEventListener("dragover", (event) => {
    if (inField(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (inField(event)) return;
    event.preventDefault();
    give(event.dataTransfer?.files ?? []);
  });
}
