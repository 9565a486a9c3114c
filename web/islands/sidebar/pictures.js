// A picture that is gone gives way: to what lies behind it, and a customer's to the letter of his name.
function giveWay(image) {
  const letter = image.dataset.letter;
  if (!letter) return image.remove();
  const stand = document.createElement("span");
  stand.className = image.className;
  stand.textContent = letter;
  stand.setAttribute("aria-hidden", "true");
  for (const name of ["hue", "size"]) if (name in image.dataset) stand.dataset[name] = image.dataset[name];
  image.replaceWith(stand);
}

const isOurs = (element) => element instanceof HTMLImageElement && element.closest(".avatar, .order-picture");

document.addEventListener("error", (event) => isOurs(event.target) && giveWay(event.target), true);

// Of the page's first HTML some may have failed before this ran.
for (const image of document.images) if (image.complete && !image.naturalWidth && isOurs(image)) giveWay(image);
